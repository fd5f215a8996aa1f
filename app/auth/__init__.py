"""Who may see what, logins, and the security headers of every answer."""
