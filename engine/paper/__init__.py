"""The paper's figures as studies."""
