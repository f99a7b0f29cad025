import subprocess
import sys

SUPERVISOR_SIDE = ("agentd.transport.protocol", "agentd.transport.registration", "agentd.transport.tokens")


def test_the_supervisors_part_needs_neither_the_rtc_sdk_nor_numpy() -> None:
    code = f"import sys, {', '.join(SUPERVISOR_SIDE)}; print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert "agentd.transport.registration" in loaded
    assert not {"livekit.rtc", "numpy"} & set(loaded)
