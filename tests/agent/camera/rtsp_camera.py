"""A network camera that speaks RTSP: Motion JPEG in RTP (RFC 2435) over its one TCP connection (RFC 2326)."""

import socketserver
import struct
import threading
from itertools import count

import cv2
import numpy as np

_PACKET = 1200  # bytes of a JPEG's scan in one RTP packet


class RtspCamera:
    """Serves flat BGR pictures of the given shades in turn, 30 a second, to whoever plays it; a context manager."""

    def __init__(self, shades: tuple[int, ...], size: tuple[int, int] = (160, 120)) -> None:
        self._jpegs = [
            cv2.imencode(".jpg", np.full((size[1], size[0], 3), shade, np.uint8))[1].tobytes() for shade in shades
        ]
        self._size = size
        self.over = threading.Event()
        camera = self

        class Session(socketserver.StreamRequestHandler):
            def handle(self) -> None:
                camera.serve(self)

        self._server = socketserver.ThreadingTCPServer(("127.0.0.1", 0), Session)
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True)
        self.url = f"rtsp://127.0.0.1:{self._server.server_address[1]}/stream"

    def __enter__(self) -> "RtspCamera":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.over.set()
        self._server.shutdown()
        self._server.server_close()

    def serve(self, session: socketserver.StreamRequestHandler) -> None:
        """Answer requests until PLAY, then send frames until the other side hangs up."""
        while request := session.rfile.readline().decode():
            method, headers = request.split()[0], dict[str, str]()
            while line := session.rfile.readline().decode().strip():
                name, _, value = line.partition(":")
                headers[name.lower()] = value.strip()
            status, answer, body = "200 OK", [f"CSeq: {headers.get('cseq', '0')}", "Session: 1"], ""
            if method == "OPTIONS":
                answer.append("Public: OPTIONS, DESCRIBE, SETUP, PLAY, TEARDOWN")
            elif method == "DESCRIBE":
                body = (
                    "v=0\r\no=- 0 0 IN IP4 127.0.0.1\r\ns=camera\r\nt=0 0\r\nm=video 0 RTP/AVP 26\r\n"
                    "a=framerate:30\r\na=control:video\r\n"
                )
                answer += ["Content-Type: application/sdp", f"Content-Length: {len(body)}"]
            elif method == "SETUP":
                if "TCP" in headers["transport"]:
                    answer.append("Transport: RTP/AVP/TCP;unicast;interleaved=0-1")
                else:
                    status = "461 Unsupported Transport"  # the FFmpeg in OpenCV 4.11 asks for UDP first
            session.wfile.write("\r\n".join([f"RTSP/1.0 {status}", *answer, "", body]).encode())
            if method == "PLAY":
                self._play(session)
                return

    def _play(self, session: socketserver.StreamRequestHandler) -> None:
        sequence = count()
        for number in count():
            for packet in self._packets(self._jpegs[number % len(self._jpegs)], number * 3000, sequence):
                try:
                    session.wfile.write(struct.pack(">cBH", b"$", 0, len(packet)) + packet)
                except OSError:
                    return
            if self.over.wait(1 / 30):
                return

    def _packets(self, jpeg: bytes, timestamp: int, sequence: "count[int]") -> list[bytes]:
        """One JPEG cut into RTP packets, its quantization tables in the first."""
        tables, at = b"", 2
        while jpeg[at + 1] != 0xDA:  # until start of scan
            length = struct.unpack(">H", jpeg[at + 2 : at + 4])[0]
            if jpeg[at + 1] == 0xDB:
                tables += jpeg[at + 5 : at + 2 + length]
            at += 2 + length
        scan = jpeg[at + 2 + struct.unpack(">H", jpeg[at + 2 : at + 4])[0] : -2]
        packets = []
        for offset in range(0, len(scan), _PACKET):
            last = offset + _PACKET >= len(scan)
            rtp = struct.pack(">BBHII", 0x80, (0x80 if last else 0) | 26, next(sequence) & 0xFFFF, timestamp, 1)
            # type 1: 4:2:0 as OpenCV writes it; Q 255: the tables are in the packet with offset 0
            header = struct.pack(">IBBBB", offset, 1, 255, self._size[0] // 8, self._size[1] // 8)
            inband = struct.pack(">BBH", 0, 0, len(tables)) + tables if offset == 0 else b""
            packets.append(rtp + header + inband + scan[offset : offset + _PACKET])
        return packets
