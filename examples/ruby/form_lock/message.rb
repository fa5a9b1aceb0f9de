# frozen_string_literal: true

# One update as the bridge takes it: JSON of version 1, with a name by which it counts once however often it is sent.

require "json"
require "securerandom"

module FormLock
  Message = Struct.new(:id, :form, :json) do
    # Keys of docs/how-to/push-from-php.md, as texts or symbols; what has no id gets one.
    #
    # Raises JSON::GeneratorError (or EncodingError) for what JSON can't say: an endless number, a text that is no UTF-8.
    def self.of(update, source = "")
      said = update.transform_keys(&:to_s)
      said["v"] = 1
      said["id"] = SecureRandom.hex(8) if said["id"].to_s.empty?
      said["source"] = source if said["source"].to_s.empty? && !source.empty?
      json = JSON.generate(said)
      raise EncodingError, "a text is no UTF-8" unless json.valid_encoding?

      new(said["id"].to_s, (said["form"] || said["channel"]).to_s, json)
    end
  end
end
