"""The first hour in an AWS account: steps that show what no emulator can."""
