// The clients of one shell: those that are kept from one command to the next, so that a line does not begin with a
// handshake, and those that a running command has, so that an interrupt can end what it waits for. Thread-safe.
#pragma once

#include <atomic>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

namespace loyal::client {
class Client;
}

namespace loyal::cli {

class SessionClients {
 public:
    // Null when none is kept under this name.
    [[nodiscard]] std::shared_ptr<client::Client> find(const std::string& name);
    // For the commands after this one. Only for clients that no completion of a command outlives.
    void keep(const std::string& name, std::shared_ptr<client::Client> client);
    // One that is not kept: closed by an interrupt as long as somebody has it.
    void watch(const std::shared_ptr<client::Client>& client);

    // Before a command.
    void begin() { interrupted_ = false; }
    // Closes every client: what waits for one is answered at once, with the certainty there is. From any thread.
    void interrupt();
    // None is kept any more: what failed is tried anew with a fresh one.
    void forget();

 private:
    std::mutex mutex_;
    std::map<std::string, std::shared_ptr<client::Client>> kept_;
    std::vector<std::weak_ptr<client::Client>> watched_;
    std::atomic<bool> interrupted_ = false;
};

}  // namespace loyal::cli
