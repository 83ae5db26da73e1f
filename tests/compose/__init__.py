"""The platform on one host with Docker or Podman: setup/compose."""
