"""The four adapters over real servers, against the local provider and the local downstream API."""
