"""What an event of a code host starts: gathered from the host, decided in one place, done through ports."""
