#include "client/cli/lease_keeper.h"

#include <algorithm>

#include <fmt/format.h>

#include "client/cli/failure.h"

namespace loyal::cli {

using std::chrono::milliseconds;

LeaseKeeper::LeaseKeeper(client::Client& client, kvstore::LeaseId lease, std::uint64_t ttl_ms,
                         Clock::time_point granted)
    : client_(client),
      lease_(lease),
      ttl_(ttl_ms),
      good_until_((granted + milliseconds(ttl_ms)).time_since_epoch().count()),
      thread_([this] { run(); }) {}

LeaseKeeper::~LeaseKeeper() {
    stop();
}

void LeaseKeeper::stop() {
    {
        const std::lock_guard lock(mutex_);
        stopping_ = true;
    }
    changed_.notify_all();
    if (thread_.joinable()) {
        thread_.join();
    }
}

bool LeaseKeeper::is_lost() const {
    return ended_ || Clock::now().time_since_epoch().count() >= good_until_;
}

std::string LeaseKeeper::why() const {
    if (ended_) {
        return fmt::format("lease {} has expired or was revoked", lease_.value);
    }
    const std::lock_guard lock(mutex_);
    return fmt::format("lease {} could not be renewed for {} ms{}", lease_.value, ttl_.count(),
                       last_error_.empty() ? "" : ": " + last_error_);
}

bool LeaseKeeper::pause(milliseconds time) {
    std::unique_lock lock(mutex_);
    changed_.wait_for(lock, time, [this] { return stopping_; });
    return !stopping_;
}

// An answer that comes too late to count still says whether the lease is there.
bool LeaseKeeper::renew() {
    const Clock::time_point sent = Clock::now();
    const client::WriteResult result = client_.write_sync(kvstore::LeaseKeepAlive{lease_});
    const bool done = result.certainty == client::Certainty::done;
    if (done && result.outcome.status == kvstore::Status::ok) {
        good_until_ = (sent + ttl_).time_since_epoch().count();
        return true;
    }
    ended_ = done && result.outcome.status == kvstore::Status::no_lease;
    const std::lock_guard lock(mutex_);
    last_error_ = result.why;
    return false;
}

void LeaseKeeper::run() {
    const milliseconds often = ttl_ / 3;
    const milliseconds soon = std::clamp(ttl_ / 20, milliseconds(50), milliseconds(1'000));
    milliseconds next = often;
    while (pause(next) && !ended_) {
        next = renew() ? often : soon;
    }
}

}  // namespace loyal::cli
