"""The ports on AWS, one file each; boto3 is imported only when the first client is made."""
