"""The wire of Encord's envelope API as values: no socket, file, clock or chance in here."""
