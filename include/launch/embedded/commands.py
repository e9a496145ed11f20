"""What `make up` and `make down` do, and where a run finds a file."""

from pathlib import Path

from include.common.errors import ConfigError
from include.common.parameters import Parameter
from include.launch.embedded import processes
from include.launch.embedded.environment import USER, Home, user_environment
from include.launch.embedded.service import start, wait_for_dags
from include.launch.fab_users import AUTH_MANAGER


def place(parameter: Parameter, text: str) -> str:
    """Where a run finds a file: a URL, or an absolute path, relative ones from where the command was typed."""
    if "://" in text:
        return text
    name = parameter.variable
    try:
        path = str(Path(text).expanduser().absolute())
        path.encode()
    except RuntimeError as error:
        raise ConfigError(f"{name} is `{text}`: {error}") from error
    except UnicodeEncodeError as error:
        raise ConfigError(f"{name} is {text!r}: a path that is not UTF-8 cannot be handed to Airflow") from error
    return path


def up(home: Home, port: int) -> None:
    """Start a lasting Airflow and print how to get in."""
    home.create()
    with processes.alone(home, "make up"):
        if running := processes.find_running(home):
            if running.lasting and not running.dead():
                print(f"already up: {running.web}  (user {USER}, password {home.password()})")
                return
            processes.stop(home, running)
        processes.check_port(port)
        running = start(home, port)
        try:
            wait_for_dags(home, running)
        except BaseException:
            processes.stop(home, running)
            raise
    print(f"Airflow is up: {running.web}\n  user      {USER}\n  password  {home.password()}\n  stop it   make down")
    if not user_environment().get(AUTH_MANAGER):
        print("  This login is Airflow's simple auth manager, for one machine; README, Security, names others.")


def down(home: Home) -> None:
    """Stop every process that `up` started."""
    if not home.path.exists():
        print("nothing is running")
        return
    with processes.alone(home, "make down"):
        running = processes.find_running(home)
        print(f"stopped: {', '.join(processes.stop(home, running))}" if running else "nothing is running")
