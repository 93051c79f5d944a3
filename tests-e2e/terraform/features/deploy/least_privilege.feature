@noskip
Feature: Roles may do what they need and nothing else

  Scenario: Roles are taken by services only
    Given I have aws_iam_role defined
    Then only services may be trusted

  Scenario: Nobody may do everything
    Given I have aws_iam_role_policy defined
    Then no statement may allow whole services

  # Each of these AWS allows in no narrower form; terraform/deploy/stack/README.md names the page that says so.
  Scenario: Nobody may touch everything
    Given I have aws_iam_role_policy defined
    Then only these statements may allow every resource:
      | role                   | statement       |
      | worker-build           | LogInToRegistry |
      | watchdog-state-machine | DeliverLogs     |

  Scenario: Nobody may touch a whole service
    Given I have aws_iam_role_policy defined
    Then no resource may be a whole service

  Scenario: What is sealed is opened for one run or pull request at a time
    Given I have aws_iam_role_policy defined
    Then it must open keys for runs and pull requests only

  # API Gateway takes no narrower policy for the account's log role.
  Scenario: One policy of AWS's own, and no other
    Given I have aws_iam_role_policy_attachment defined
    Then it must have policy_arn
    And its value must match the "^arn:aws:iam::aws:policy/service-role/AmazonAPIGatewayPushToCloudWatchLogs$" regex

  Scenario: Builds get no Docker of the host
    Given I have aws_codebuild_project defined
    Then it must have environment
    And it must have privileged_mode
    And its value must match the "^false$" regex
