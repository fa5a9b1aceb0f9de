# frozen_string_literal: true

# What every acknowledged way has in common: names, order, trying again, and one time-out for all. See ReliablePusher, HttpPusher.

require_relative "message"

module FormLock
  # An answer is what the bridge has said: {id, form, seq, epoch} (and duplicate: true) when the update is kept, or
  # {id, error, message, retry} when it is refused; its keys are texts. Without an answer in time the error is `no_answer`: the update may be
  # kept or not, and can be sent again with the same id. Nothing is raised: the save that is told of is done. Threads may share a pusher.
  class AcknowledgedPusher
    # Twice as long each time: a bridge that is slow need not be asked the more.
    FIRST_TRY_MS = 250
    PAUSE_MS = 50
    # The bridge's queue for one connection.
    MAX_AT_ONCE = 200
    # The bridge's limit. Of more than a MiB ZeroMQ would end the connection, and nobody would say why.
    MAX_BYTES = 65_536

    # within_ms: of one push, or of one push_all however much it has, with all that is tried again.
    def initialize(within_ms, source)
      @within_ms = within_ms
      @source = source
      @lock = Mutex.new
      @free = ConditionVariable.new
      @busy = false
    end

    # Keys of docs/how-to/push-from-php.md; the answer.
    def push(update)
      push_all([update]).first
    end

    # Many at once; those of one form arrive in their order. An answer for each, in the same order.
    def push_all(updates)
      till = now + @within_ms
      answers, waiting = prepared(updates)
      in_turn(till) { send_until(till, waiting, answers) }
      answers
    end

    private

    # Send these, and wait no longer for their answers: `{n => answer}` of those there were. Messages are `{n => Message}`.
    def exchange(_messages, _within_ms)
      raise NotImplementedError
    end

    def prepared(updates)
      answers = []
      waiting = {}
      updates.each_with_index do |update, n|
        message = Message.of(update, @source)
        if message.json.bytesize > MAX_BYTES
          answers[n] = refusal(message.id, "too_large", "A message has at most #{MAX_BYTES} bytes.", false)
        else
          answers[n] = refusal(message.id, "no_answer", "There was no answer within #{@within_ms} ms.", true)
          waiting[n] = message
        end
      rescue JSON::JSONError, EncodingError => e
        answers[n] = refusal(nil, "not_json", e.message, false)
      end
      [answers, waiting]
    end

    def send_until(till, waiting, answers)
      try_ms = FIRST_TRY_MS
      at_once = MAX_AT_ONCE
      while waiting.any? && (left = till - now) >= 1
        round = first_of_each_form(waiting, at_once)
        exchange(round, [left, try_ms].min).each do |n, answer|
          answers[n] = answer
          waiting.delete(n) unless answer["retry"]
        end
        next unless round.keys.any? { |n| waiting.key?(n) }

        # One by one from here: an answer without a name can only be about the one message there is.
        at_once = 1
        try_ms *= 2
        sleep([0, [PAUSE_MS, till - now].min].max / 1000.0)
      end
    end

    # One thread after the other, and none longer than it may wait: a mutex alone would add up their times.
    def in_turn(till)
      @lock.synchronize do
        @free.wait(@lock, [0.001, (till - now) / 1000.0].max) while @busy && now < till
        return if @busy

        @busy = true
      end
      begin
        yield
      ensure
        @lock.synchronize do
          @busy = false
          @free.signal
        end
      end
    end

    # A form's second update leaves when its first has been answered: sent again, it would come after it.
    def first_of_each_form(waiting, most)
      found = waiting.to_a.uniq { |_, message| message.form }
      # Answers are told apart by their ids.
      found.uniq { |_, message| message.id }.first(most).to_h
    end

    # nil for what is no answer of the bridge: a proxy's page, say.
    def answer_of(text)
      answer = JSON.parse(text)
      answer if answer.is_a?(Hash) && (answer.key?("seq") || answer.key?("error"))
    rescue JSON::JSONError
      nil
    end

    def refusal(id, error, message, again)
      { "id" => id, "error" => error, "message" => message, "retry" => again }
    end

    # Milliseconds that no clock's correction changes.
    def now
      Process.clock_gettime(Process::CLOCK_MONOTONIC, :float_millisecond)
    end
  end
end
