#include "tests/durability/pump.h"

#include <fmt/format.h>

namespace loyal::durability {

Pump::Pump(std::unique_ptr<client::Client> client, std::size_t width, std::uint64_t count, Next next)
    : client_(std::move(client)), count_(count), next_(std::move(next)) {
    for (std::size_t i = 0; i < width; ++i) {
        one();
    }
}

Pump::~Pump() {
    stop();
    client_->close();
}

void Pump::one() {
    std::uint64_t index = 0;
    {
        const std::lock_guard lock(mutex_);
        if (!open_ || (count_ != 0 && started_ == count_)) {
            return;
        }
        index = started_++;
        ++under_way_;
    }
    client_->write(next_(index), [this](const client::WriteResult& result) { ended(result); });
}

void Pump::ended(const client::WriteResult& result) {
    ++(result.certainty == client::Certainty::done ? done_ : failed_);
    one();
    // Under the lock: who waits may destroy this as soon as it is released.
    const std::lock_guard lock(mutex_);
    if (--under_way_ == 0) {
        idle_.notify_all();
    }
}

void Pump::wait() {
    std::unique_lock lock(mutex_);
    idle_.wait(lock, [this] { return under_way_ == 0; });
}

void Pump::stop() {
    {
        const std::lock_guard lock(mutex_);
        open_ = false;
    }
    wait();
}

Bytes bulk_key(std::uint64_t i) {
    // Spread over the order of keys, as users' keys are.
    return bytes_of(fmt::format("{:016x}-{:047d}", i * 0x9E3779B97F4A7C15U, i));
}

Bytes bulk_value(std::uint64_t i, std::uint64_t round) {
    std::string value = fmt::format("{}.{}.", i, round);
    for (std::uint64_t x = i ^ (round << 40U); value.size() < 256;) {
        x = x * 6364136223846793005U + 1442695040888963407U;
        value += static_cast<char>('a' + (x >> 40U) % 26);
    }
    return bytes_of(value);
}

}  // namespace loyal::durability
