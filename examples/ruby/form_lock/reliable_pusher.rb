# frozen_string_literal: true

# Acknowledged by ZeroMQ: the answer comes after the bridge has written the update down; nobody waits longer than the time-out.

require_relative "acknowledged_pusher"
require_relative "zeromq_socket"

module FormLock
  class ReliablePusher < AcknowledgedPusher
    # keys: what `formlock keys add` has made, for an address that wants a key.
    def initialize(address = "tcp://127.0.0.1:5556", within_ms: 1_000, source: "", keys: nil)
      super(within_ms, source)
      @socket = ZeromqSocket.new(ZMQ::DEALER, address, { ZMQ::LINGER => 0 }, keys)
    end

    # May be repeated; the next push opens it again.
    def close
      @socket.close
    end

    private

    def exchange(messages, within_ms)
      till = now + within_ms
      answers = {}
      numbers = messages.to_h { |n, message| [message.id, n] }
      socket = @socket.open
      messages.each_value { |message| socket.send_string(message.json, ZMQ::DONTWAIT) }
      while answers.length < messages.length && (answer = received(socket, till))
        # A message that could not be read has no name. Of several it is not known which: they are sent again one by one.
        n = answer["id"] ? numbers[answer["id"]] : (messages.keys.first if messages.length == 1)
        break if n.nil?

        answers[n] = answer
      end
      answers
    ensure
      # With the socket goes what it has not sent, and every late answer.
      @socket.close if answers.length < messages.length
    end

    def received(socket, till)
      socket.setsockopt(ZMQ::RCVTIMEO, [0, (till - now).floor].max)
      text = +""
      socket.recv_string(text).negative? ? nil : answer_of(text.force_encoding(Encoding::UTF_8))
    end
  end
end
