# frozen_string_literal: true

# Best effort, as in the article, and with limits: nobody waits for a push, and a process ends when it has to.

require_relative "message"
require_relative "zeromq_socket"

module FormLock
  # What is told to nobody is not kept either; see ReliablePusher for what must arrive. Threads may share a pusher.
  class Pusher
    # within_ms: how long one push may wait when 1,000 messages wait already; linger_ms: how long the process may wait at its end for
    # what is left; keys: what `formlock keys add` has made, for an address that wants a key.
    def initialize(address = "tcp://127.0.0.1:5555", within_ms: 200, linger_ms: 500, keys: nil)
      @lock = Mutex.new
      @socket = ZeromqSocket.new(ZMQ::PUSH, address, { ZMQ::SNDTIMEO => within_ms, ZMQ::LINGER => linger_ms }, keys)
    end

    # Whether it could be put into the queue; nobody knows whether it arrives.
    def push(update)
      json = Message.of(update).json
      @lock.synchronize { @socket.open.send_string(json) >= 0 }
    rescue JSON::JSONError, EncodingError => e
      warn "formlock: not pushed: #{e.message}"
      false
    end

    # Waits for what is left, linger_ms at most.
    def close
      @lock.synchronize { @socket.close }
    end
  end
end
