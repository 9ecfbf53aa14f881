"""The page: shows stations to people, lets them label, teach and command. A process of its own.

People and security:
    users.py            the users in their file, with roles
    user_command.py     `edge-inspect page-user`: changes the file of users
    roles.py            the roles: viewer, operator, engineer
    passwords.py        scrypt hashes of passwords
    sessions.py         sessions of people who have logged in
    login_limits.py     delays after wrong passwords
    people.py           users, sessions and limits together
    audit.py            the audit log: who did what
    guard.py            who asks, and whether that person may
    proxies.py          proxies in front of the page, and what they forward
    gate.py             checks that every request and answer passes
    login_routes.py     the routes for logging in and out, and for the audit log
"""
