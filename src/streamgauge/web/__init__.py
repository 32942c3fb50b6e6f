"""Web: the status page, its JSON, health and the scrape."""
