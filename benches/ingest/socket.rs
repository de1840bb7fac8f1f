//! A client of WebSockets that costs little: frames written by hand, under a mask of zeros.

use std::net::SocketAddr;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// A socket that is open.
pub struct Socket {
    stream: TcpStream,
    buffer: Vec<u8>,
    /// Bytes of the buffer that were read and not taken yet.
    taken: usize,
    have: usize,
}

impl Socket {
    pub async fn open(address: SocketAddr, path: &str) -> Self {
        let mut stream = TcpStream::connect(address).await.unwrap();
        stream.set_nodelay(true).unwrap();
        let request = format!(
            "GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
            Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
        );
        stream.write_all(request.as_bytes()).await.unwrap();
        let (mut buffer, mut have) = (vec![0; 1 << 10], 0);
        let head = loop {
            have += stream.read(&mut buffer[have..]).await.unwrap();
            let text = String::from_utf8_lossy(&buffer[..have]);
            assert!(text.starts_with("HTTP/1.1 101"), "{text}");
            if let Some(head) = text.find("\r\n\r\n") {
                break head + 4;
            }
        };
        Self { stream, buffer, taken: head, have }
    }

    /// Sends text messages, in one write.
    pub async fn send<'a>(&mut self, texts: impl Iterator<Item = &'a str>) {
        let mut out = Vec::new();
        for text in texts {
            out.push(0x81);
            match text.len() {
                short @ ..126 => out.push(0x80 | short as u8),
                middle @ ..0x1_0000 => {
                    out.push(0x80 | 126);
                    out.extend_from_slice(&(middle as u16).to_be_bytes());
                }
                long => {
                    out.push(0x80 | 127);
                    out.extend_from_slice(&(long as u64).to_be_bytes());
                }
            }
            out.extend_from_slice(&[0; 4]);
            out.extend_from_slice(text.as_bytes());
        }
        self.stream.write_all(&out).await.unwrap();
    }

    /// Waits for the next text message, which must acknowledge something whole.
    pub async fn acknowledged(&mut self) {
        loop {
            while let Some((kind, begin, end)) = self.frame() {
                self.taken = end;
                if kind == 1 {
                    let text = std::str::from_utf8(&self.buffer[begin..end]).unwrap();
                    assert!(text.contains(r#""ack""#) && !text.contains("refused"), "{text}");
                    return;
                }
            }
            self.buffer.copy_within(self.taken..self.have, 0);
            (self.have, self.taken) = (self.have - self.taken, 0);
            if self.have == self.buffer.len() {
                self.buffer.resize(self.have * 2, 0);
            }
            let read = self.stream.read(&mut self.buffer[self.have..]).await.unwrap();
            assert!(read > 0, "the socket was closed");
            self.have += read;
        }
    }

    /// The next whole frame: its kind and where its text lies. Servers do not mask, and these texts are short.
    fn frame(&self) -> Option<(u8, usize, usize)> {
        let head = self.buffer[self.taken..self.have].first_chunk::<4>()?;
        let (length, begin) = match head[1] {
            126 => (usize::from(u16::from_be_bytes([head[2], head[3]])), self.taken + 4),
            short => (usize::from(short), self.taken + 2),
        };
        let end = begin + length;
        (end <= self.have).then_some((head[0] & 15, begin, end))
    }
}
