@noskip
Feature: Nothing but the door is open to the world

  Scenario: Every bucket has its own block of public access
    Given I have aws_s3_bucket defined
    Then each must have its own "aws_s3_bucket_public_access_block"
    And each must have its own "aws_s3_bucket_ownership_controls"

  Scenario Outline: All four ways to make a bucket public are blocked
    Given I have aws_s3_bucket_public_access_block defined
    Then it must have <way>
    And its value must match the "^true$" regex

    Examples:
      | way                     |
      | block_public_acls       |
      | block_public_policy     |
      | ignore_public_acls      |
      | restrict_public_buckets |

  Scenario: No list of rights beside the policies
    Given I have aws_s3_bucket_ownership_controls defined
    Then it must have rule
    And it must have object_ownership
    And its value must match the "^BucketOwnerEnforced$" regex

  Scenario Outline: A policy names everybody only to refuse
    Given I have <policy> defined
    Then only refusals may name everybody

    Examples:
      | policy               |
      | aws_s3_bucket_policy |
      | aws_sqs_queue_policy |
      | aws_sns_topic_policy |
      | aws_kms_key          |

  Scenario: Functions are called by one bucket and one rule
    Given I have aws_lambda_permission defined
    Then it must have source_arn
    And its value must match the "^arn:aws:(s3:::acme-internal-[0-9]+-|events:[a-z0-9-]+:[0-9]{12}:rule/acme-tick$)" regex

  Scenario: The bucket, whose ARN names no account, is one of this account
    Given I have aws_lambda_permission defined
    When its principal is s3.amazonaws.com
    Then it must have source_account
    And its value must match the "^[0-9]{12}$" regex
