// Operator: orders to running replicas (replica/control.h) for the commands of experiments. Everything that can be
// checked is checked before the first order leaves: the cluster allows experiments, the lines are right, the replicas
// exist and answer.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "client/cli/connection.h"
#include "client/cli/failure.h"

namespace loyal::cli {

struct Order {
    std::uint16_t replica = 0;
    std::string line;
};
struct Told {
    std::uint16_t replica = 0;
    std::string answer;
};

// What to do when some of the replicas do not answer.
enum class Reach : std::uint8_t {
    all,      // nothing is done
    patient,  // they may be down for a moment (crash-recovery): waited for within the time-out, then nothing is done
    whoever,  // waited for, too; then those that answer are told (to heal is better than not to), and the others are
              // named at the end
};

class Operator {
 public:
    // Signs in as "admin" unless told otherwise. Exit 5 in a cluster without experiments.
    [[nodiscard]] static Answer<Operator> open(const Globals& globals);

    [[nodiscard]] const config::Cluster& cluster() const { return connection_.cluster; }
    [[nodiscard]] std::size_t replicas() const { return connection_.cluster.replicas.size(); }
    // As parse_replicas.
    [[nodiscard]] Answer<std::vector<std::uint16_t>> ids_of(const std::string& text) const;
    // The answers in order. Exit 2: a line is wrong; 3: replicas are unreachable, and which; 5: not an admin. A failure
    // in the middle says which orders are in force all the same.
    [[nodiscard]] Answer<std::vector<Told>> give(const std::vector<Order>& orders, Reach reach = Reach::all);
    // Of replicas that did not answer in the last give() with Reach::whoever.
    [[nodiscard]] const std::map<std::uint16_t, std::string>& unreachable() const { return unreachable_; }
    // The faults that replicas say are in force; unreachable ones are left out.
    [[nodiscard]] std::map<std::uint16_t, std::string> faults_in_force();

 private:
    Operator(Connection connection, std::uint64_t timeout_ms)
        : connection_(std::move(connection)), timeout_ms_(timeout_ms) {}
    [[nodiscard]] Answer<void> check(const std::vector<Order>& orders) const;
    void look_who_answers(const std::vector<Order>& orders, Reach reach);

    Connection connection_;
    std::uint64_t timeout_ms_;
    std::map<std::uint16_t, std::string> unreachable_;
};

// "0", "0,2" or "all"; each of them one of the cluster.
[[nodiscard]] Answer<std::vector<std::uint16_t>> parse_replicas(const std::string& text, std::size_t replicas);
// "0, 2"
[[nodiscard]] std::string list_of(const std::vector<std::uint16_t>& ids);
// Exit 3 and their names, when there are any.
[[nodiscard]] Answer<Exit> done_except(const Operator& told);

}  // namespace loyal::cli
