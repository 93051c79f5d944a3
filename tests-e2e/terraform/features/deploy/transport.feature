@noskip
Feature: Nothing is reached over plain HTTP

  Scenario: Every bucket has a policy of its own
    Given I have aws_s3_bucket defined
    Then each must have its own "aws_s3_bucket_policy"

  Scenario Outline: Buckets, queues and topics refuse plain HTTP
    Given I have <policy> defined
    Then its policy must refuse plain HTTP

    Examples:
      | policy               |
      | aws_s3_bucket_policy |
      | aws_sqs_queue_policy |
      | aws_sns_topic_policy |
