"""Settings of JupyterLab for two servers behind one public hostname.

Only the last section is for the test. An operator needs the others, too.
"""

import hashlib
import os

c = get_config()  # noqa: F821, Jupyter defines it for configuration files

# --- One public hostname -----------------------------------------------------------------------------------------------

# Jupyter compares `Origin` with `Host`, which is not the public host, so it would reject every WebSocket.
c.ServerApp.allow_origin = os.environ["PUBLIC_ORIGIN"]

# --- One login for both servers ----------------------------------------------------------------------------------------

# By default the name of the cookie contains `Host`, so each server would use a different one.
c.IdentityProvider.cookie_name = "jupyter-login"
# Cookies are signed with this file and the hash of the password. Different salts would be different logins.
c.ServerApp.cookie_secret_file = os.environ["COOKIE_SECRET_FILE"]
salt = "shared by both"
digest = hashlib.sha256((os.environ["PASSWORD"] + salt).encode()).hexdigest()
c.PasswordIdentityProvider.hashed_password = f"sha256:{salt}:{digest}"
c.PasswordIdentityProvider.password_required = True

# --- The test: any free port, and no requests to other machines --------------------------------------------------------

c.ServerApp.ip = "127.0.0.1"
c.ServerApp.port = 0
c.ServerApp.open_browser = False
# Chromium and Jupyter both run as root in most containers.
c.ServerApp.allow_root = True
c.LabApp.extension_manager = "readonly"
c.LabApp.check_for_updates_class = "jupyterlab.NeverCheckForUpdate"
