#include "client/cli/session_clients.h"

#include <algorithm>

#include "client/client.h"

namespace loyal::cli {

namespace {

// A cluster or a key more than these closes the others; nobody works with so many at once.
constexpr std::size_t kept_max = 4;

}  // namespace

std::shared_ptr<client::Client> SessionClients::find(const std::string& name) {
    const std::lock_guard lock(mutex_);
    const auto found = kept_.find(name);
    return found == kept_.end() ? nullptr : found->second;
}

void SessionClients::keep(const std::string& name, std::shared_ptr<client::Client> client) {
    watch(client);
    std::map<std::string, std::shared_ptr<client::Client>> closed;  // outside of the lock
    const std::lock_guard lock(mutex_);
    if (kept_.size() >= kept_max) {
        closed.swap(kept_);
    }
    kept_[name] = std::move(client);
}

void SessionClients::watch(const std::shared_ptr<client::Client>& client) {
    {
        const std::lock_guard lock(mutex_);
        watched_.erase(
            std::remove_if(watched_.begin(), watched_.end(), [](const auto& entry) { return entry.expired(); }),
            watched_.end());
        watched_.push_back(client);
    }
    if (interrupted_) {  // before it was made
        client->close();
    }
}

void SessionClients::interrupt() {
    interrupted_ = true;
    std::vector<std::shared_ptr<client::Client>> open;
    {
        const std::lock_guard lock(mutex_);
        for (const auto& entry : watched_) {
            if (auto client = entry.lock()) {
                open.push_back(std::move(client));
            }
        }
        kept_.clear();
    }
    for (const auto& client : open) {
        client->close();
    }
}

void SessionClients::forget() {
    std::map<std::string, std::shared_ptr<client::Client>> closed;
    const std::lock_guard lock(mutex_);
    closed.swap(kept_);
}

}  // namespace loyal::cli
