"""Code hosts on this machine that behave like GitHub, GitLab and Bitbucket: for demonstrations and for tests."""
