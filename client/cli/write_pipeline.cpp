#include "client/cli/write_pipeline.h"

#include <algorithm>
#include <condition_variable>
#include <mutex>
#include <set>

#include "config/assert.h"

namespace loyal::cli {

namespace {

const Bytes& key_of(const kvstore::Operation& operation) {
    const auto* put = std::get_if<kvstore::Put>(&operation);
    LOYAL_ASSERT(put != nullptr || std::holds_alternative<kvstore::Delete>(operation),
                 "the pipeline keeps the order of puts and deletes");
    return put != nullptr ? put->key : std::get<kvstore::Delete>(operation).key;
}

std::size_t size_of(const kvstore::Operation& operation) {
    const auto* put = std::get_if<kvstore::Put>(&operation);
    return key_of(operation).size() + (put == nullptr ? 0 : put->value.size());
}

}  // namespace

struct WritePipeline::State {
    State(std::size_t operations_limit, std::size_t bytes_limit)
        : operations_max(operations_limit), bytes_max(bytes_limit) {}

    const std::size_t operations_max;
    const std::size_t bytes_max;
    mutable std::mutex mutex;
    std::condition_variable changed;
    const std::atomic<bool>* stop = nullptr;
    std::set<Bytes> keys;               // under way
    std::multiset<std::uint64_t> tags;  // under way
    std::size_t bytes = 0;
    PipelineSummary summary;

    void complete(const Bytes& key, std::size_t size, std::uint64_t tag, const client::WriteResult& result) {
        const Answer<void> answer = judge(result);
        const std::lock_guard lock(mutex);
        keys.erase(key);
        tags.erase(tags.find(tag));
        bytes -= size;
        if (answer) {
            ++summary.done;
        } else if (answer.error().exit == Exit::negative) {
            ++summary.negative;
        } else {
            ++(answer.error().exit == Exit::maybe_applied ? summary.unknown : summary.refused);
            // The worst of it decides what is said: something may have been applied.
            const bool worse = summary.failure && answer.error().exit == Exit::maybe_applied &&
                               summary.failure->exit != Exit::maybe_applied;
            if (!summary.failure || worse) {
                summary.failure = answer.error();
            }
            summary.failed_tag = summary.failed_tag == 0 ? tag : std::min(summary.failed_tag, tag);
        }
        changed.notify_all();
    }
};

WritePipeline::WritePipeline(client::Client& client, std::size_t operations_max, std::size_t bytes_max)
    : client_(client), state_(std::make_shared<State>(operations_max, bytes_max)) {}

WritePipeline::~WritePipeline() {
    (void)finish();
}

bool WritePipeline::submit(kvstore::Operation operation, std::uint64_t tag) {
    const Bytes key = key_of(operation);
    const std::size_t size = size_of(operation);
    {
        std::unique_lock lock(state_->mutex);
        const auto stopped = [&] { return state_->stop != nullptr && *state_->stop; };
        const auto ready = [&] {
            const bool room = state_->keys.size() < state_->operations_max &&
                              (state_->bytes + size <= state_->bytes_max || state_->keys.empty());
            return stopped() || state_->summary.failure || (room && !state_->keys.contains(key));
        };
        // A signal handler that sets the flag cannot wake anybody.
        while (!state_->changed.wait_for(lock, std::chrono::milliseconds(100), ready)) {
        }
        if (stopped() || state_->summary.failure) {
            return false;
        }
        state_->keys.insert(key);
        state_->tags.insert(tag);
        state_->bytes += size;
    }
    client_.write(std::move(operation), [state = state_, key, size, tag](const client::WriteResult& result) {
        state->complete(key, size, tag, result);
    });
    return true;
}

bool WritePipeline::failed() const {
    const std::lock_guard lock(state_->mutex);
    return state_->summary.failure.has_value();
}

std::uint64_t WritePipeline::answered() const {
    const std::lock_guard lock(state_->mutex);
    return state_->summary.done + state_->summary.negative;
}

void WritePipeline::stop_when(const std::atomic<bool>& stop) {
    const std::lock_guard lock(state_->mutex);
    state_->stop = &stop;
}

std::uint64_t WritePipeline::done_below() const {
    const std::lock_guard lock(state_->mutex);
    const std::uint64_t under_way = state_->tags.empty() ? UINT64_MAX : *state_->tags.begin();
    return state_->summary.failure ? std::min(under_way, state_->summary.failed_tag) : under_way;
}

bool WritePipeline::settle(std::chrono::milliseconds limit) {
    std::unique_lock lock(state_->mutex);
    return state_->changed.wait_for(lock, limit, [&] { return state_->keys.empty(); });
}

PipelineSummary WritePipeline::finish() {
    std::unique_lock lock(state_->mutex);
    state_->changed.wait(lock, [&] { return state_->keys.empty(); });
    return state_->summary;
}

}  // namespace loyal::cli
