"""T-80 in short, and the aborts of §7 in their full number: what takes minutes. An hour of it is `bench/soak`."""

# ctest: soak
# ctest: timeout 1800
# ctest: alone

import json
import subprocess
import sys

import pytest

from harness import BUILD, ROOT, SANITIZED

sys.path.insert(0, str(ROOT / "bench" / "compare.d"))


def test_a_few_minutes_of_everything_leave_nothing_behind():
    done = subprocess.run(
        [sys.executable, ROOT / "bench" / "soak", "--minutes", "3"], capture_output=True, text=True, timeout=900
    )
    print(done.stdout, done.stderr)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.skipif(SANITIZED, reason="its times are compared with nginx's")
@pytest.mark.parametrize("phase", ["streaming", "first_byte", "one_piece"])
def test_ten_thousand_aborts_are_all_noticed_as_soon_as_nginx_does(phase, tmp_path):
    """Five waves of two thousand for each, in turn, a hundred at once: the medians of the waves' p99."""
    from servers import Field, get

    if not (BUILD / "gateway-load").is_file():
        pytest.skip("gateway-load is not built")
    with Field(BUILD, tmp_path) as field:
        if "nginx" in field.missing:
            pytest.skip(field.missing["nginx"])
        gateway = field.servers["gateway"]
        late = {"gateway": [], "nginx": []}
        for _ in range(5):
            for target, times in late.items():
                wave = ["aborts", "--phase", phase, "--how", "rst", "--count", "2000", "--at-once", "100"]
                found = json.loads(field.load(target, wave, timeout=600))
                assert found["noticed"] == found["left"] == 2000 and found["cut_early"] == 0, (target, found)
                times.append(found["noticed_p99_us"] / 1000)
        p99 = {target: sorted(times)[2] for target, times in late.items()}
        print(phase, p99, late)
        assert p99["gateway"] <= 1.25 * p99["nginx"] + 0.5, p99
        status, text = get(gateway.admin_port, "/status")
        assert status == 200 and not json.loads(text)["calls"]


def test_ten_thousand_who_leave_the_queue_never_reach_the_upstream(tmp_path):
    from servers import Field

    if not (BUILD / "gateway-load").is_file():
        pytest.skip("gateway-load is not built")
    with Field(BUILD, tmp_path) as field:
        wave = ["aborts", "--phase", "queued", "--how", "fin", "--count", "10000", "--at-once", "100"]
        found = json.loads(field.load("gateway-queue", wave, timeout=900))
    print(found)
    assert found["left"] == 10000 and found["reached_origin"] == 0, found
