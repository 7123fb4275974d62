#include "client/cli/lock_queue.h"

#include <algorithm>
#include <thread>

#include <fmt/format.h>

#include "client/cli/output.h"

namespace loyal::cli {

namespace {

using std::chrono::milliseconds;

constexpr milliseconds poll_min(20);
constexpr milliseconds poll_max(1'000);

}  // namespace

Answer<std::unique_ptr<LockQueue>> LockQueue::enter(client::Client& client, Bytes name, Bytes value,
                                                    std::uint64_t ttl_ms) {
    std::unique_ptr<LockQueue> queue(new LockQueue(client, std::move(name)));
    const auto sent = LeaseKeeper::Clock::now();
    const client::WriteResult granted = client.write_sync(kvstore::LeaseGrant{ttl_ms});
    if (const Answer<void> answer = judge(granted); !answer) {
        return tl::unexpected<Failure>(answer.error());
    }
    queue->lease_ = kvstore::LeaseId(kvstore::decode_count(granted.outcome.result).value_or(0));
    queue->keeper_ = std::make_unique<LeaseKeeper>(client, queue->lease_, ttl_ms, sent);
    const client::WriteResult entered =
        client.write_sync(kvstore::LockAcquire{queue->name_, queue->lease_, std::move(value)});
    if (const Answer<void> answer = judge(entered); !answer) {
        (void)queue->leave();
        return tl::unexpected<Failure>(answer.error());
    }
    queue->token_ = kvstore::decode_lock_place(entered.outcome.result).value_or(kvstore::LockPlace{}).token;
    return queue;
}

LockQueue::~LockQueue() = default;

Answer<std::size_t> LockQueue::ahead() {
    if (token_ != 0) {
        return 0;
    }
    const client::ReadResult read = client_.read_sync(kvstore::LockQuery{name_});
    if (const Answer<void> answer = judge(read); !answer) {
        return tl::unexpected<Failure>(answer.error());
    }
    const Result<kvstore::LockReport> report = kvstore::decode_lock_report(read.result);
    if (!report) {
        return tl::unexpected<Failure>(failure_of(report.error()));
    }
    const auto place = std::find_if(report->queue.begin(), report->queue.end(),
                                    [this](const kvstore::LockWaiter& waiter) { return waiter.lease == lease_; });
    if (place == report->queue.end()) {
        return refuse(Exit::negative, "lock_not_held",
                      fmt::format("the place in the lock's queue was lost: lease {} has ended", lease_.value));
    }
    if (place == report->queue.begin()) {
        token_ = report->token;
    }
    return static_cast<std::size_t>(place - report->queue.begin());
}

// It asks again soon after the queue has moved, and less and less often while it does not.
Answer<void> LockQueue::wait_for_turn(const std::atomic<bool>& interrupted, std::optional<std::uint64_t> wait_ms) {
    const auto begun = LeaseKeeper::Clock::now();
    milliseconds pause = poll_min;
    std::size_t last = SIZE_MAX;
    while (true) {
        const Answer<std::size_t> place = ahead();
        if (place && *place == 0) {
            return {};
        }
        if (!place && place.error().exit != Exit::not_applied) {
            return tl::unexpected<Failure>(
                place.error());  // what is unavailable now may come back before the lease ends
        }
        if (keeper_->is_lost()) {
            return refuse(Exit::negative, "lock_not_held", "lock not held: " + keeper_->why());
        }
        if (interrupted) {
            return refuse(Exit::negative, "lock_not_held", "lock not held: interrupted while it was waited for");
        }
        const auto waited = std::chrono::duration_cast<milliseconds>(LeaseKeeper::Clock::now() - begun);
        if (wait_ms && static_cast<std::uint64_t>(waited.count()) >= *wait_ms) {
            return refuse(Exit::negative, "lock_not_held",
                          fmt::format("lock not held: {} before this one after {} ms", place.value_or(last), *wait_ms));
        }
        const bool moved = place && *place != last;
        last = place.value_or(last);
        pause = moved ? poll_min : std::min(pause * 3 / 2, last == 1 ? poll_max / 4 : poll_max);
        if (wait_ms) {
            pause = std::min(pause, milliseconds(*wait_ms) - waited);
        }
        std::this_thread::sleep_for(pause);
    }
}

Answer<void> LockQueue::leave() {
    keeper_->stop();
    return judge(client_.write_sync(kvstore::LeaseRevoke{lease_}));
}

}  // namespace loyal::cli
