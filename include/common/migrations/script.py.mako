<%!
def plain(text):  # without Alembic's banners
    return "\n".join(line for line in text.splitlines() if "###" not in line).strip() or "pass"
%>\
"""${message}"""

import sqlalchemy
from alembic import op

revision = ${repr(up_revision)}
down_revision = ${repr(down_revision)}
branch_labels = ${repr(branch_labels)}
depends_on = None


def upgrade() -> None:
    ${plain(upgrades or "")}


def downgrade() -> None:
    ${plain(downgrades or "")}
