// net drop, delay, duplicate, reorder, rate, cut, partition, isolate, show, heal: experiments with the network.
#include <functional>
#include <memory>

#include <fmt/format.h>
#include <CLI/CLI.hpp>
#include <nlohmann/json.hpp>

#include "client/cli/command.h"
#include "client/cli/net_words.h"

namespace loyal::cli {

using Json = nlohmann::ordered_json;

namespace {

struct NetOptions {
    std::string a, b, value, jitter;
    std::vector<std::string> groups;
    bool one_way = false;
};

using Change = std::function<Answer<void>(replica::LinkFault&)>;
using Links = std::function<Answer<std::vector<NetLink>>(const Operator&)>;

Json json_of_link(const NetLink& link) {
    return Json{{"from", link.from}, {"to", link.to ? Json(*link.to) : Json("clients")}};
}

void print_faults(const Globals& globals, const NetFaults& faults) {
    Json list = Json::array();
    std::string text;
    for (const auto& [link, fault] : faults) {
        const std::string words = to_string(fault);
        Json each = json_of_link(link);
        each["fault"] = words.empty() ? Json("none") : Json(words);
        list.push_back(std::move(each));
        text += fmt::format("{}: {}\n", link_text(link), words.empty() ? "no fault" : words);
    }
    if (globals.format == OutputFormat::json) {
        print_json(Json{{"links", list}});
    } else {
        print(text);
    }
}

// What the senders have in force for all their links.
Answer<NetFaults> ask_faults(Operator& control, const std::vector<std::uint16_t>& senders, Reach reach) {
    std::vector<Order> questions;
    for (const std::uint16_t id : senders) {
        questions.push_back({id, "net show"});
    }
    const Answer<std::vector<Told>> told = control.give(questions, reach);
    if (!told) {
        return tl::unexpected<Failure>(told.error());
    }
    NetFaults all;
    for (const Told& each : *told) {
        auto faults = faults_of_answer(each.replica, each.answer);
        if (!faults) {
            return refuse(Exit::integrity, "bad_answer",
                          fmt::format("replica {} gave an answer that makes no sense", each.replica));
        }
        all.merge(*faults);
    }
    return all;
}

// Changes what is in force for these links in one respect and leaves the rest of it as it is.
Answer<Exit> change_links(const Globals& globals, const Links& links_of, const Change& change) {
    // First what needs no cluster.
    replica::LinkFault trial;
    if (const Answer<void> sound = change(trial); !sound) {
        return tl::unexpected<Failure>(sound.error());
    }
    if (const auto allowed = replica::parse_link_fault(to_string(trial)); !allowed) {
        return refuse_input(allowed.error().message);
    }
    Answer<Operator> control = Operator::open(globals);
    if (!control) {
        return tl::unexpected<Failure>(std::move(control.error()));
    }
    const Answer<std::vector<NetLink>> links = links_of(*control);
    if (!links) {
        return tl::unexpected<Failure>(links.error());
    }
    std::vector<std::uint16_t> senders;
    for (const NetLink& link : *links) {
        if (senders.empty() || senders.back() != link.from) {  // they are in order of the sender
            senders.push_back(link.from);
        }
    }
    const Answer<NetFaults> before = ask_faults(*control, senders, Reach::all);
    if (!before) {
        return tl::unexpected<Failure>(before.error());
    }
    NetFaults after;
    for (const NetLink& link : *links) {
        const auto found = before->find(link);
        replica::LinkFault& fault = after[link];
        fault = found == before->end() ? replica::LinkFault{} : found->second;
        if (const Answer<void> changed = change(fault); !changed) {
            return tl::unexpected<Failure>(changed.error());
        }
    }
    const Answer<std::vector<Told>> told = control->give(orders_for(after));
    if (!told) {
        return tl::unexpected<Failure>(told.error());
    }
    print_faults(globals, after);
    return Exit::done;
}

Answer<Exit> show(const Globals& globals) {
    Answer<Operator> control = Operator::open(globals);
    if (!control) {
        return tl::unexpected<Failure>(std::move(control.error()));
    }
    const auto everybody = control->ids_of("all");
    std::vector<Order> questions;
    for (const std::uint16_t id : *everybody) {
        questions.push_back({id, "net show"});
    }
    // A replica that is down has no links: nobody waits for it.
    Json list = Json::array();
    std::vector<std::vector<std::string>> rows = {{"LINK", "FAULT", "FRAMES", "LOST", "DELAYED", "DUPLICATED"}};
    for (const Order& question : questions) {
        const Answer<std::vector<Told>> told = control->give({question});
        if (!told) {
            if (told.error().exit != Exit::not_applied) {
                return tl::unexpected<Failure>(told.error());
            }
            list.push_back(Json{{"from", question.replica}, {"reachable", false}});
            rows.push_back({fmt::format("{} -> all", question.replica), "unreachable"});
            continue;
        }
        const auto said = nlohmann::json::parse(told->front().answer, nullptr, false);
        const auto faults = faults_of_answer(question.replica, told->front().answer);
        for (std::size_t i = 0; faults && i < said["links"].size(); ++i) {
            const auto& each = said["links"][i];
            const std::string words = each["fault"].get<std::string>();
            const NetLink link{question.replica,
                               each["to"].is_string() ? std::nullopt : std::optional(each["to"].get<std::uint16_t>())};
            Json entry = json_of_link(link);
            entry["fault"] = words.empty() ? Json("none") : Json(words);
            std::vector<std::string> row = {link_text(link), words.empty() ? "-" : words};
            for (const char* count : {"frames", "lost", "delayed", "duplicated"}) {
                entry[count] = each.value(count, std::uint64_t{0});
                row.push_back(entry[count].dump());
            }
            list.push_back(std::move(entry));
            rows.push_back(std::move(row));
        }
    }
    if (globals.format == OutputFormat::json) {
        print_json(Json{{"links", list}});
    } else {
        print(table(rows));
    }
    return Exit::done;
}

Answer<Exit> heal_all(const Globals& globals) {
    Answer<Operator> control = Operator::open(globals);
    if (!control) {
        return tl::unexpected<Failure>(std::move(control.error()));
    }
    std::vector<Order> orders;
    const auto everybody = control->ids_of("all");
    for (const std::uint16_t id : *everybody) {
        orders.push_back({id, "net heal"});
    }
    const Answer<std::vector<Told>> told = control->give(orders, Reach::whoever);
    if (!told) {
        return tl::unexpected<Failure>(told.error());
    }
    std::vector<std::uint16_t> healed;
    for (const Told& each : *told) {
        healed.push_back(each.replica);
    }
    if (globals.format == OutputFormat::json) {
        print_json(Json{{"healed", healed}});
    } else {
        print(fmt::format("healed: all links of {}\n", list_of(healed)));
    }
    return done_except(*control);
}

Answer<Exit> heal(const Globals& globals, const NetOptions& options) {
    if (options.a.empty()) {
        return heal_all(globals);
    }
    if (options.b.empty()) {
        return refuse_input("write both ends, as in: loyal net heal 0 1; or none, and everything is healed");
    }
    return change_links(
        globals,
        [options](const Operator& o) { return links_between(options.a, options.b, options.one_way, o.replicas()); },
        [](replica::LinkFault& fault) -> Answer<void> {
            fault = {};
            return {};
        });
}

Answer<std::uint64_t> parse_delay(const std::string& text) {
    const auto ms = replica::parse_duration_ms(text);
    if (!ms) {
        return refuse_input(ms.error().message);
    }
    return *ms;
}

Links between(const std::shared_ptr<NetOptions>& options) {
    return
        [options](const Operator& o) { return links_between(options->a, options->b, options->one_way, o.replicas()); };
}

void add_ends(CLI::App* command, NetOptions& options, bool required = true) {
    command->add_option("a", options.a, "Replicas: 0, or 0,1, or all")->required(required);
    command->add_option("b", options.b, "Replicas; or clients, which is about answers to clients")->required(required);
    command->add_flag("--one-way", options.one_way, "Only from A to B; default: both ways");
}

// drop, duplicate, reorder
void add_share(CLI::App& group, CommandContext& context, const char* name, const char* what,
               double replica::LinkFault::*share) {
    auto options = std::make_shared<NetOptions>();
    CLI::App* command = add_command(group, name, what, fmt::format("loyal net {} 0 1,2 30%", name));
    add_ends(command, *options);
    command->add_option("share", options->value, "How likely for each message: 30% or 0.3")->required();
    when_chosen(command, context, [&context, options, share] {
        return change_links(context.globals, between(options), [options, share](replica::LinkFault& fault) {
            return parse_share(options->value).map([&](double value) { fault.*share = value; });
        });
    });
}

void add_delay(CLI::App& group, CommandContext& context) {
    auto options = std::make_shared<NetOptions>();
    CLI::App* command = add_command(group, "delay", "Make messages late", "loyal net delay all all 20ms --jitter 5ms");
    add_ends(command, *options);
    command->add_option("delay", options->value, "How late, as in 20ms")->required();
    command->add_option("--jitter", options->jitter, "And up to so much later, as in 5ms");
    when_chosen(command, context, [&context, options] {
        return change_links(context.globals, between(options), [options](replica::LinkFault& fault) -> Answer<void> {
            const auto delay = parse_delay(options->value);
            const auto jitter = options->jitter.empty() ? Answer<std::uint64_t>(0) : parse_delay(options->jitter);
            if (!delay || !jitter) {
                return tl::unexpected<Failure>(!delay ? delay.error() : jitter.error());
            }
            fault.delay_ms = *delay;
            fault.jitter_ms = *jitter;
            return {};
        });
    });
}

void add_rate(CLI::App& group, CommandContext& context) {
    auto options = std::make_shared<NetOptions>();
    CLI::App* command = add_command(group, "rate", "Bound the bytes a second", "loyal net rate 0 1 64kB/s");
    add_ends(command, *options);
    command->add_option("rate", options->value, "64kB/s, 1MB/s, bytes a second, or unlimited")->required();
    when_chosen(command, context, [&context, options] {
        return change_links(context.globals, between(options), [options](replica::LinkFault& fault) {
            return parse_rate(options->value).map([&](std::uint64_t rate) { fault.rate_bytes_s = rate; });
        });
    });
}

Answer<void> cut(replica::LinkFault& fault) {
    fault.cut = true;
    return {};
}

void add_cuts(CLI::App& group, CommandContext& context) {
    auto options = std::make_shared<NetOptions>();
    CLI::App* command =
        add_command(group, "cut", "Let nothing through", "loyal net cut 0 1\n  loyal net cut 0 all --one-way");
    add_ends(command, *options);
    when_chosen(command, context, [&context, options] { return change_links(context.globals, between(options), cut); });

    auto groups = std::make_shared<NetOptions>();
    CLI::App* partition = add_command(group, "partition", "Cut the links between groups of replicas",
                                      "loyal net partition 0,1 / 2,3\n  loyal net partition 0 / 1,2,3 --one-way");
    partition->add_option("groups", groups->groups, "Groups with a slash between them")->required()->expected(-1);
    partition->add_flag("--one-way", groups->one_way, "Only from an earlier group to a later one");
    when_chosen(partition, context, [&context, groups] {
        return change_links(
            context.globals,
            [groups](const Operator& o) { return links_of_partition(groups->groups, groups->one_way, o.replicas()); },
            cut);
    });

    auto alone = std::make_shared<NetOptions>();
    CLI::App* isolate = add_command(
        group, "isolate", "Cut all links of a replica to the others; clients still reach it", "loyal net isolate 3");
    isolate->add_option("id", alone->a, "The replica")->required();
    isolate->add_flag("--one-way", alone->one_way, "Only what it sends");
    when_chosen(isolate, context, [&context, alone] {
        return change_links(
            context.globals,
            [alone](const Operator& o) { return links_between(alone->a, "all", alone->one_way, o.replicas()); }, cut);
    });
}

}  // namespace

void add_net_commands(CLI::App& app, CommandContext& context) {
    CLI::App* group = add_command(app, "net", "Experiments: make the network bad (needs a cluster with --experiments)",
                                  "loyal net drop 0 1 30%\n  loyal net partition 0,1 / 2,3\n  loyal net heal");
    group->require_subcommand(1);
    add_share(*group, context, "drop", "Lose messages", &replica::LinkFault::drop);
    add_delay(*group, context);
    add_share(*group, context, "duplicate", "Send messages twice", &replica::LinkFault::duplicate);
    add_share(*group, context, "reorder", "Hold messages back, so that later ones overtake them",
              &replica::LinkFault::reorder);
    add_rate(*group, context);
    add_cuts(*group, context);
    CLI::App* show_command =
        add_command(*group, "show", "What is in force on every link, and what it did", "loyal net show");
    when_chosen(show_command, context, [&context] { return show(context.globals); });
    auto options = std::make_shared<NetOptions>();
    CLI::App* heal_command = add_command(*group, "heal", "Take all faults of the network away, or those of some links",
                                         "loyal net heal\n  loyal net heal 0 1");
    add_ends(heal_command, *options, false);
    when_chosen(heal_command, context, [&context, options] { return heal(context.globals, *options); });
}

}  // namespace loyal::cli
