"""A far and narrow link, as a TCP proxy: what comes is passed on later, and no faster than so many bytes a second, all connections together.

Not tc's netem, which needs a kernel with it; no packet is lost, reordered or doubled here, which TCP would hide from Kafka's clients anyway.
"""
import asyncio
import threading

CHUNK = 4096
BUFFERED = 0.25  # seconds of traffic that wait in the link; then whoever sends is held up


class Way:
    """One direction."""

    def __init__(self, delay, rate):
        self.delay, self.rate, self.free, self.passed = delay, rate, 0.0, 0

    async def pump(self, reader, writer):
        loop, under_way = asyncio.get_running_loop(), asyncio.Queue()
        arrivals = loop.create_task(self.deliver(under_way, writer))
        try:
            while data := await reader.read(CHUNK):
                self.free = max(loop.time(), self.free) + len(data) / self.rate
                self.passed += len(data)
                under_way.put_nowait((self.free + self.delay, data))
                await asyncio.sleep(max(0, self.free - loop.time() - BUFFERED))
        except OSError:
            pass  # the other side learns it as the end
        under_way.put_nowait((loop.time() + self.delay, b""))
        await arrivals

    @staticmethod
    async def deliver(under_way, writer):
        loop = asyncio.get_running_loop()
        data = b"-"
        while data:
            due, data = await under_way.get()
            await asyncio.sleep(max(0, due - loop.time()))
            try:
                writer.write(data)
                await writer.drain()
            except OSError:
                break  # nobody is there any more: the rest is lost, as on a link
        writer.close()


class SlowLink:
    """`port`: where it listens. `target`: (host, port), to be set before anyone connects. `delay`: seconds each way; `rate`: bytes a second."""

    def __init__(self, delay, rate):
        self.up, self.down, self.target, self.port = Way(delay, rate), Way(delay, rate), None, None
        self.loop = asyncio.new_event_loop()
        listening = threading.Event()
        threading.Thread(target=self.run, args=(listening,), daemon=True).start()
        listening.wait()

    def run(self, listening):
        server = self.loop.run_until_complete(asyncio.start_server(self.serve, "127.0.0.1", 0))
        self.port = server.sockets[0].getsockname()[1]
        listening.set()
        self.loop.run_forever()

    async def serve(self, reader, writer):
        try:
            far_reader, far_writer = await asyncio.open_connection(*self.target)
        except OSError:
            writer.close()
            return
        await asyncio.gather(self.up.pump(reader, far_writer), self.down.pump(far_reader, writer))
