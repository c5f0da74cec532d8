"""kill -9 under load: nothing acknowledged is lost, stale or doubled after the restart, in compactions too."""

from pathlib import Path

from tests.ingest.killing import kill_often


async def test_eight_kills_under_load_cost_no_acknowledged_reading(tmp_path: Path) -> None:
    found = await kill_often(tmp_path, kills=8, seed=4, life_s=0.6)
    account = found.account
    assert found.right, str(found)
    # The kills met work: requests were cut off and sent again, compactions had made files.
    assert account.retried > 0
    assert account.accepted >= 40
    assert account.checked_minutes > 0
    assert account.checked_visible > 0
    assert found.files > 0
    assert found.deletions > 0
    assert found.snapshots > 0
