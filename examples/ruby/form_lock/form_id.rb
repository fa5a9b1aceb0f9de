# frozen_string_literal: true

# Any record's id as one part of a form's topic; the same function as in Python and JavaScript (tests/contract/escape.json).

module FormLock
  MAX_PART_LENGTH = 64

  module_function

  # UTF-8 bytes outside A-Z a-z 0-9 _ - become a colon and two upper-case hex digits: a percent sign is not allowed in a topic.
  #
  # Raises ArgumentError when nothing is left, for more than 64 characters (shortened, two records could share a lock), or no UTF-8.
  def escape(raw)
    text = raw.encode(Encoding::UTF_8)
    raise ArgumentError, "an id is UTF-8" unless text.valid_encoding?

    part = text.b.gsub(/[^A-Za-z0-9_-]/n) { |byte| format(":%02X", byte.ord) }.force_encoding(Encoding::UTF_8)
    return part if (1..MAX_PART_LENGTH).cover?(part.length)

    raise ArgumentError, "an id has 1 to #{MAX_PART_LENGTH} characters when escaped, this one has #{part.length}"
  end

  # The topic of a record's form: topic("invoice", 42) is com.example.form.invoice.42.
  def topic(type, id, prefix = "com.example")
    "#{prefix}.form.#{escape(type)}.#{escape(id.to_s)}"
  end
end
