@noskip
Feature: Images are encrypted, looked through, and stay what they are

  Scenario: They are encrypted under a KMS key
    Given I have aws_ecr_repository defined
    Then it must have encryption_configuration
    And it must have encryption_type
    And its value must match the "^KMS$" regex

  Scenario: Known weaknesses show when an image is pushed
    Given I have aws_ecr_repository defined
    Then it must have image_scanning_configuration
    And it must have scan_on_push
    And its value must match the "^true$" regex

  Scenario: A tag stays where it is
    Given I have aws_ecr_repository defined
    Then it must have image_tag_mutability
    And its value must match the "^IMMUTABLE_WITH_EXCLUSION$" regex

  Scenario: But for one that is for people, and those of deployments
    Given I have aws_ecr_repository defined
    Then it must have image_tag_mutability_exclusion_filter
    And it must have filter
    And its value must match the "^(latest|deployed-[*])$" regex

  Scenario: Images with a tag stay until many newer ones came
    Given I have aws_ecr_lifecycle_policy defined
    Then it must have policy
    And it must have rules
    And it must have selection
    When its tagStatus is tagged
    Then it must have countNumber
    And its value must match the "^(50|10000)$" regex

  Scenario: Only services pull
    Given I have aws_ecr_repository_policy defined
    Then only services may be trusted

  Scenario: And only pull
    Given I have aws_ecr_repository_policy defined
    Then no statement may allow whole services
