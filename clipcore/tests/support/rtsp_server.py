"""Serves an MP4 file of H.264 and AAC over RTSP as a camera does: one presentation that all clients share, in real time.

usage: rtsp_server.py FILE PORT   (the stream is rtsp://127.0.0.1:PORT/live/show)
"""

import sys

import gi

gi.require_version("Gst", "1.0")
gi.require_version("GstRtspServer", "1.0")
from gi.repository import GLib, Gst, GstRtspServer  # noqa: E402

file, port = sys.argv[1], sys.argv[2]
Gst.init(None)
factory = GstRtspServer.RTSPMediaFactory()
factory.set_shared(True)
factory.set_launch(
    f'( filesrc location="{file}" ! qtdemux name=in '
    "in.video_0 ! queue ! rtph264pay name=pay0 pt=96 config-interval=-1 "
    "in.audio_0 ! queue ! rtpmp4gpay name=pay1 pt=97 )"
)
server = GstRtspServer.RTSPServer()
server.set_address("127.0.0.1")
server.set_service(port)
server.get_mount_points().add_factory("/live/show", factory)
if server.attach(None) == 0:
    sys.exit(f"port {port} cannot be listened on")
GLib.MainLoop().run()
