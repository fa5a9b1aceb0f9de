# frozen_string_literal: true

# Acknowledged by HTTP, signed: for those without ZeroMQ. Needs nothing but Ruby.

require "net/http"
require "openssl"
require "timeout"

require_relative "acknowledged_pusher"

module FormLock
  class HttpPusher < AcknowledgedPusher
    # Of a key and its secret: `name` and `http_secret` of what `formlock keys add` has made.
    def initialize(name, secret, address = "http://127.0.0.1:5557", within_ms: 1_000, source: "")
      super(within_ms, source)
      @name = name
      @secret = secret
      @uri = URI.join(address, "/updates")
    end

    private

    def exchange(messages, within_ms)
      answers = {}
      # Net::HTTP's own time-outs begin anew with every piece that comes; this one counts for all.
      Timeout.timeout(within_ms / 1000.0) do
        # Not by a proxy that the environment names: it is the bridge that is asked.
        Net::HTTP.start(@uri.host, @uri.port, nil, use_ssl: @uri.scheme == "https", max_retries: 0) do |connection|
          messages.each do |n, message|
            answer = post(connection, message.json)
            break if answer.nil?

            answers[n] = answer
          end
        end
      end
      answers
    rescue Timeout::Error, SystemCallError, SocketError, IOError, Net::ProtocolError, OpenSSL::SSL::SSLError
      # Nobody there, or its time is over.
      answers
    end

    def post(connection, body)
      time = Time.now.to_i.to_s
      headers = {
        "Content-Type" => "application/json",
        "X-Form-Lock-Key" => @name,
        "X-Form-Lock-Time" => time,
        "X-Form-Lock-Signature" => OpenSSL::HMAC.hexdigest("SHA256", @secret, "#{time}\n#{body}")
      }
      answer_of(connection.post(@uri.path, body, headers).body.to_s.force_encoding(Encoding::UTF_8))
    end
  end
end
