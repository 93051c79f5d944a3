@noskip
Feature: Commands are never run twice

  Scenario: Lambda does not try a worker again
    Given I have aws_lambda_function_event_invoke_config defined
    When its function_name has ".*-worker$" regex
    Then it must have maximum_retry_attempts
    And its value must match the "^0$" regex
