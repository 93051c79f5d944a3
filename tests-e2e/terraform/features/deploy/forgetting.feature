@noskip
Feature: What the stack no longer needs goes by itself, in time

  Scenario: Rows expire by the attribute that the engine writes
    Given I have aws_dynamodb_table defined
    Then it must have ttl
    And it must have attribute_name
    And its value must match the "^expires_at$" regex

  Scenario: Rows expire at all
    Given I have aws_dynamodb_table defined
    Then it must have ttl
    And it must have enabled
    And its value must match the "^true$" regex

  Scenario: Every bucket has a lifecycle of its own
    Given I have aws_s3_bucket defined
    Then each must have its own "aws_s3_bucket_lifecycle_configuration"

  Scenario: Lifecycles are on
    Given I have aws_s3_bucket_lifecycle_configuration defined
    Then it must have rule
    And it must have status
    And its value must match the "^Enabled$" regex

  Scenario: Objects go after a day, results, logs and files after two weeks, tools after five
    Given I have aws_s3_bucket_lifecycle_configuration defined
    Then it must have rule
    And it must have expiration
    And it must have days
    And its value must match the "^(1|14|35)$" regex

  Scenario: Half-sent objects go after a day
    Given I have aws_s3_bucket_lifecycle_configuration defined
    Then it must have rule
    And it must have abort_incomplete_multipart_upload
    And it must have days_after_initiation
    And its value must match the "^1$" regex

  Scenario: Dead letters go after two weeks
    Given I have aws_sqs_queue defined
    Then it must have message_retention_seconds
    And its value must match the "^1209600$" regex
