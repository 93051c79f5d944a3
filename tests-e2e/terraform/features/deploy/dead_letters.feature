@noskip
Feature: Whatever dies is heard of

  Scenario: Every function says where its failed calls go
    Given I have aws_lambda_function defined
    Then each must have its own "aws_lambda_function_event_invoke_config" by its function_name

  Scenario: To the watchdog or to the queue
    Given I have aws_lambda_function_event_invoke_config defined
    Then it must have destination_config
    And it must have on_failure
    And it must have destination
    And its value must match the "^arn:aws:(lambda:.*:function:acme-watchdog-check|sqs:.*:acme-dead-letters)$" regex

  Scenario: The watchdog's own go to the queue
    Given I have aws_lambda_function_event_invoke_config defined
    When its function_name has ".*-watchdog-check$" regex
    Then it must have destination_config
    And it must have on_failure
    And it must have destination
    And its value must match the "^arn:aws:sqs:.*:acme-dead-letters$" regex

  Scenario: An alarm looks at the queue
    Given I have aws_cloudwatch_metric_alarm defined
    When its namespace is AWS/SQS
    Then it must have dimensions
    And it must have QueueName
    And its value must match the "^acme-dead-letters$" regex
