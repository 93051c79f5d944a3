@noskip
Feature: What was tested is what runs

  Scenario: Functions name their image by digest
    Given I have aws_lambda_function defined
    Then it must have image_uri
    And its value must match the "^[^@]+@sha256:[0-9a-f]{64}$" regex

  Scenario: Builds name their image by digest
    Given I have aws_codebuild_project defined
    Then it must have environment
    And it must have image
    And its value must match the "^[^@]+@sha256:[0-9a-f]{64}$" regex
