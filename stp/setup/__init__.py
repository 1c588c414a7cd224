"""Before anything is computed: what the machine offers, what the videos are like, and a config that suits both."""
