"""The bridge: what backends push arrives on the form's topic, numbered. The way in: pull > intake > journal > component > router."""
