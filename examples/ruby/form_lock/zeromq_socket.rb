# frozen_string_literal: true

# One ZeroMQ socket with its context, opened when it is needed; in each process its own.

require "ffi-rzmq"

module FormLock
  class ZeromqSocket
    # options: `{ZMQ::LINGER => 0, ...}`; keys: what `formlock keys add` has made, for an address that wants a key.
    def initialize(type, address, options, keys)
      @type = type
      @address = address
      @options = options
      @keys = keys
      # Ruby would end the context before its sockets, which never comes back.
      at_exit { close }
    end

    # Opens it, if it is not open.
    def open
      forget if @process != Process.pid
      return @socket if @socket

      @process = Process.pid
      @context = ZMQ::Context.new
      @socket = @context.socket(@type)
      @options.each { |name, value| @socket.setsockopt(name, value) }
      if @keys
        @socket.setsockopt(ZMQ::CURVE_SERVERKEY, @keys["server_public_key"])
        @socket.setsockopt(ZMQ::CURVE_PUBLICKEY, @keys["public_key"])
        @socket.setsockopt(ZMQ::CURVE_SECRETKEY, @keys["secret_key"])
      end
      @socket.connect(@address)
      @socket
    end

    # Waits for what is left as long as LINGER says; may be repeated.
    def close
      return if @socket.nil? || @process != Process.pid

      @socket.close
      @context.terminate
      forget
    end

    private

    # A socket does not survive a fork. That of the process before is not ours to close, and its finalizer knows that.
    def forget
      @socket = @context = nil
    end
  end
end
