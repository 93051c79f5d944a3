@noskip
Feature: Logs are kept, and not for ever

  Scenario: Every log group forgets after a month
    Given I have aws_cloudwatch_log_group defined
    Then it must have retention_in_days
    And its value must match the "^30$" regex

  Scenario: Every function writes to a group of the plan, and not to one that Lambda makes
    Given I have aws_lambda_function defined
    Then its logging_config.log_group must name a planned "aws_cloudwatch_log_group"

  Scenario: Builds write to a group of the plan, and not to one that CodeBuild makes
    Given I have aws_codebuild_project defined
    Then its logs_config.cloudwatch_logs.group_name must name a planned "aws_cloudwatch_log_group"

  Scenario: The watchdog writes a log without the data of the runs
    Given I have aws_sfn_state_machine defined
    Then it must have logging_configuration
    And it must have include_execution_data
    And its value must match the "^false$" regex

  Scenario: The door writes an access log
    Given I have aws_api_gateway_stage defined
    Then it must have access_log_settings
    And it must have format
    And it must have request_id

  Scenario: The door writes no bodies
    Given I have aws_api_gateway_method_settings defined
    Then it must have settings
    And it must have data_trace_enabled
    And its value must match the "^false$" regex
