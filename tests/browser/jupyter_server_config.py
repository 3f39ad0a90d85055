"""What JupyterLab needs on two servers behind one public hostname. An operator's own file would say the same.

Nothing here is for the test's convenience but the last part.
"""

import hashlib
import os

c = get_config()  # noqa: F821, a name that Jupyter gives to its configuration files

# --- One public hostname -----------------------------------------------------------------------------------------------

# Jupyter compares `Origin` with `Host`, and its own `Host` is not the public one: it would refuse every socket.
c.ServerApp.allow_origin = os.environ["PUBLIC_ORIGIN"]

# --- One login for both servers ----------------------------------------------------------------------------------------

# By default the cookie's name is made of `Host`, so that each server would look for a cookie of its own.
c.IdentityProvider.cookie_name = "jupyter-login"
# Cookies are signed by this file and the password's hash together. Two salts would be two logins.
c.ServerApp.cookie_secret_file = os.environ["COOKIE_SECRET_FILE"]
salt = "one for both"
digest = hashlib.sha256((os.environ["PASSWORD"] + salt).encode()).hexdigest()
c.PasswordIdentityProvider.hashed_password = f"sha256:{salt}:{digest}"
c.PasswordIdentityProvider.password_required = True

# --- A server that is told its port by the system, and that asks nobody outside this machine -----------------------------

c.ServerApp.ip = "127.0.0.1"
c.ServerApp.port = 0
c.ServerApp.open_browser = False
# Chromium and Jupyter both run as root in most containers.
c.ServerApp.allow_root = True
c.LabApp.extension_manager = "readonly"
c.LabApp.check_for_updates_class = "jupyterlab.NeverCheckForUpdate"
