"""What of an address is shown, and that no password gets through, whatever signs it holds and wherever it stands."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_contract.public_url import public_url, without_secrets


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("http://cam/video", "http://cam/video"),
        ("RTSP://10.0.0.9:554/Streaming/Channels/101", "rtsp://10.0.0.9:554/Streaming/Channels/101"),
        ("http://[fe80::2]:8080/?action=stream", "http://[fe80::2]:8080/"),
        ("http://admin:hunter2@cam:8080/video?x=1#y", "http://cam:8080/video"),
        ("http://admin:p@hunter2@cam/video", "http://cam/video"),
        ("http://admin:p/hunter2@cam/video", "http://…"),
        ("http://admin:1234/hunter2@cam/video", "http://…"),
        ("http://admin:p#hunter2@cam/video", "http://…"),
        ("http://admin:p?hunter2@cam/video", "http://…"),
        ("http://admin:p\\hunter2@cam/video", "http://…"),
        ("http://cam/cgi?user=admin&pwd=hunter2", "http://cam/cgi"),
        ("http://cam/v;token=hunter2", "http://cam/…"),
        ("rtsp://cam:554/user=admin&password=hunter2&channel=1/x.sdp", "rtsp://cam:554/…"),
        ("rtsp://cam/live/user=admin_password=hun/ter2", "rtsp://cam/live/…"),
        ("rtsp://cam/user%3Dadmin%26password%3Dhunter2", "rtsp://cam/…"),
        ("rtsp://cam/live/token/hunter2", "rtsp://cam/live/…"),
        ("postgresql://h/db?password=hunter2", "postgresql://h/db"),
        ("sqlite:////var/lib/x.db", "sqlite:////var/lib/x.db"),
        ("mqtt://u:p://hunter2", "mqtt://…"),
        ("admin:hunter2@cam/video", "…"),
        ("cam/video?pwd=hunter2", "cam/video"),
        ("http://cam/a\x1b[2Jhunter2", "http://cam/…"),
        ("clip.mp4", "clip.mp4"),
        ("", ""),
    ],
)
def test_scheme_host_port_and_path_are_shown(url: str, shown: str) -> None:
    assert public_url(url) == shown


ODD = st.text(st.sampled_from("1/?#@:=&%;\\ \"'<>[]aé\n"), max_size=6)


@given(
    before=ODD,
    after=ODD,
    form=st.sampled_from(
        [
            "http://admin:{}@cam:8080/video",
            "rtsp://{}@cam/video",
            "http://cam/video?user=admin&pwd={}",
            "rtsp://cam:554/user=admin&password={}&channel=1",
            "rtsp://cam/video#{}",
        ]
    ),
)
def test_no_password_is_shown_whatever_signs_it_holds(before: str, after: str, form: str) -> None:
    url = form.format(f"{before}hunter2{after}")
    assert "hunter2" not in public_url(url)
    assert "hunter2" not in without_secrets(f"cannot open '{url}': no route", [url])
    if "=" not in form or not set("&;") & set(before + after):  # those end a value, as in any query
        assert "hunter2" not in without_secrets(f"unexpected answer for {before}hunter2{after}", [url])
    assert public_url(public_url(url)) == public_url(url)


def test_an_address_in_a_text_is_shown_as_it_may_be_even_where_it_was_not_known_before() -> None:
    text = "[tcp @ 0x1] cannot reach tcp://admin:hunter2@cam:554, or http://cam/video?token=hunter2."
    assert without_secrets(text) == "[tcp @ 0x1] cannot reach tcp://cam:554, or http://cam/video."
    assert without_secrets("nothing of that kind", ["", "0", "/dev/video0"]) == "nothing of that kind"


def test_a_piece_of_an_address_is_found_decoded_too() -> None:
    url = "http://admin:h%75nter%2F2@cam/v"
    assert without_secrets("401 for admin:hunter/2 and h%75nter%2F2", [url]) == "401 for … and …"
