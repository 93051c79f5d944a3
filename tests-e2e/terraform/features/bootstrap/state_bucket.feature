@noskip
Feature: The state bucket is encrypted, private, and forgets only what was replaced

  Scenario Outline: It has every guard
    Given I have aws_s3_bucket defined
    Then each must have its own "<guard>"

    Examples:
      | guard                                              |
      | aws_s3_bucket_versioning                           |
      | aws_s3_bucket_server_side_encryption_configuration |
      | aws_s3_bucket_public_access_block                  |
      | aws_s3_bucket_ownership_controls                   |
      | aws_s3_bucket_lifecycle_configuration              |
      | aws_s3_bucket_policy                               |

  Scenario: It is encrypted under a KMS key
    Given I have aws_s3_bucket_server_side_encryption_configuration defined
    Then it must have rule
    And it must have apply_server_side_encryption_by_default
    And it must have sse_algorithm
    And its value must match the "^aws:kms$" regex

  Scenario: It refuses plain HTTP
    Given I have aws_s3_bucket_policy defined
    Then its policy must refuse plain HTTP

  Scenario: It is nobody else's
    Given I have aws_s3_bucket_policy defined
    Then only refusals may name everybody

  Scenario Outline: It cannot be made public
    Given I have aws_s3_bucket_public_access_block defined
    Then it must have <way>
    And its value must match the "^true$" regex

    Examples:
      | way                     |
      | block_public_acls       |
      | block_public_policy     |
      | ignore_public_acls      |
      | restrict_public_buckets |

  Scenario: Old states can be had back
    Given I have aws_s3_bucket_versioning defined
    Then it must have versioning_configuration
    And it must have status
    And its value must match the "^Enabled$" regex

  Scenario: For a year
    Given I have aws_s3_bucket_lifecycle_configuration defined
    Then it must have rule
    And it must have noncurrent_version_expiration
    And it must have noncurrent_days
    And its value must match the "^365$" regex

  Scenario: The newest state stays
    Given I have aws_s3_bucket_lifecycle_configuration defined
    Then it must have rule
    And it must not have expiration
