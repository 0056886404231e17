"""What is downstream of the journal: Faust agents, each with one page as its unit of work."""
