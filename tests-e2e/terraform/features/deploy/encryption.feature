@noskip
Feature: What the stack keeps is encrypted

  Scenario: Every bucket has an encryption of its own
    Given I have aws_s3_bucket defined
    Then each must have its own "aws_s3_bucket_server_side_encryption_configuration"

  Scenario: Buckets are encrypted under S3's or a KMS key
    Given I have aws_s3_bucket_server_side_encryption_configuration defined
    Then it must have rule
    And it must have apply_server_side_encryption_by_default
    And it must have sse_algorithm
    And its value must match the "^(AES256|aws:kms)$" regex

  Scenario: Tables are encrypted under a KMS key
    Given I have aws_dynamodb_table defined
    Then it must have server_side_encryption
    And it must have enabled
    And its value must match the "^true$" regex

  Scenario: The queue of dead letters is encrypted
    Given I have aws_sqs_queue defined
    Then it must have sqs_managed_sse_enabled
    And its value must match the "^true$" regex

  Scenario: Alarms are encrypted
    Given I have aws_sns_topic defined
    Then it must have kms_master_key_id
    And its value must match the "^arn:.*:kms:" regex

  Scenario: The key is replaced every year
    Given I have aws_kms_key defined
    Then it must have enable_key_rotation
    And its value must match the "^true$" regex

  Scenario: The webhook secret is encrypted
    Given I have aws_ssm_parameter defined
    When its name has ".*/webhook-secret$" regex
    Then it must have type
    And its value must match the "^SecureString$" regex
