@noskip
Feature: Long runs are not taken for a mistake

  Scenario: Every function has a setting for recursive loops of its own
    Given I have aws_lambda_function defined
    Then each must have its own "aws_lambda_function_recursion_config" by its function_name

  Scenario: Loops are allowed
    Given I have aws_lambda_function_recursion_config defined
    Then it must have recursive_loop
    And its value must match the "^Allow$" regex
