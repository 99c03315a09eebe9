"""Everything that can be asked of the service, as frozen typed values, by what it is about."""
