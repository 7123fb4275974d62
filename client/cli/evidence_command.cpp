// evidence list, show, save, verify: signed proof of replicas' misbehaviour. Nothing is believed from the replicas that
// hold it: what they hand out is checked here against the cluster file before it is shown.
#include <algorithm>
#include <future>
#include <map>
#include <memory>

#include <fmt/format.h>
#include <fmt/ranges.h>
#include <CLI/CLI.hpp>
#include <nlohmann/json.hpp>

#include "client/cli/command.h"
#include "client/cli/evidence_file.h"
#include "crypto/identity.h"

namespace loyal::cli {

using Json = nlohmann::ordered_json;
using consensus::Evidence;

namespace {

constexpr std::size_t id_digits_min = 4;
constexpr std::size_t id_digits_shown = 12;

struct EvidenceOptions {
    std::string id, file;
};

// What check_evidence needs, from the cluster file alone.
struct Judge {
    explicit Judge(const config::Cluster& cluster) : membership(cluster.membership()) {}
    [[nodiscard]] const crypto::Digest& cluster_id() const { return membership.context.cluster_id; }

    consensus::Membership membership;
    crypto::Ed25519Verifier signatures;
    consensus::MessageVerifier verifier{membership, signatures};
};

struct Held {
    Evidence evidence;
    std::vector<std::uint16_t> holders;
};
struct Said {  // by one replica
    std::optional<Failure> failure;
    std::uint64_t held = 0, omitted = 0;
    std::vector<std::string> unproven;  // why each did not verify
};
struct Collected {
    std::map<std::string, Held> proofs;  // by id
    std::map<std::uint16_t, Said> said;
};

std::string heading_of(const Evidence& evidence) {
    const auto subject = consensus::subject_of(evidence);
    const std::string where = !subject ? std::string()
                              : subject->height.value == 0
                                  ? fmt::format(" (view {})", subject->view.value)
                                  : fmt::format(" (view {}, height {})", subject->view.value, subject->height.value);
    return fmt::format("replica {}: {}{}", evidence.culprit.value, consensus::explanation_of(evidence.kind), where);
}

Json evidence_json(const Evidence& evidence) {
    const auto subject = consensus::subject_of(evidence);
    return Json{{"id", consensus::evidence_id(evidence).hex()},
                {"kind", consensus::name_of(evidence.kind)},
                {"culprit", evidence.culprit.value},
                {"view", subject ? Json(subject->view.value) : Json()},
                {"height", subject && subject->height.value != 0 ? Json(subject->height.value) : Json()},
                {"explanation", consensus::explanation_of(evidence.kind)}};
}

// ---- Asking

void take_answer(const Judge& judge, std::uint16_t replica, const std::string& text, Collected& all) {
    Said& said = all.said[replica];
    const Json document = Json::parse(text, nullptr, false);
    if (document.is_discarded() || !document.is_object() || !document.contains("evidence") ||
        !document["evidence"].is_array()) {
        said.failure = Failure{Exit::integrity, "bad_answer", "the answer is no list of evidence"};
        return;
    }
    const auto number = [&](const char* name) {
        return document.contains(name) && document[name].is_number_unsigned() ? document[name].get<std::uint64_t>()
                                                                              : std::uint64_t{0};
    };
    said.held = number("held");
    said.omitted = number("omitted");
    for (const Json& each : document["evidence"]) {
        const Answer<Evidence> evidence = evidence_of_json(each);
        if (!evidence) {
            said.unproven.push_back(evidence.error().message);
            continue;
        }
        if (const Result<void> proven = consensus::check_evidence(judge.verifier, *evidence); !proven) {
            said.unproven.push_back(proven.error().message);
            continue;
        }
        Held& held = all.proofs[consensus::evidence_id(*evidence).hex()];
        held.evidence = *evidence;
        held.holders.push_back(replica);
    }
}

// All replicas at once. Fails when none of them answers.
Answer<Collected> collect(const Connection& connection, const Judge& judge) {
    const std::size_t n = connection.cluster.replicas.size();
    std::vector<std::future<Result<std::string>>> answers;
    for (std::size_t i = 0; i < n; ++i) {
        auto promise = std::make_shared<std::promise<Result<std::string>>>();
        answers.push_back(promise->get_future());
        connection.client->control(consensus::ReplicaId(static_cast<std::uint16_t>(i)), "evidence",
                                   [promise](const Result<std::string>& answer) { promise->set_value(answer); });
    }
    Collected all;
    std::optional<Failure> last;
    std::size_t failed = 0;
    for (std::size_t i = 0; i < n; ++i) {
        const auto replica = static_cast<std::uint16_t>(i);
        const Result<std::string> answer = answers[i].get();
        if (answer) {
            take_answer(judge, replica, *answer, all);
        } else {
            last = all.said[replica].failure = failure_of(answer.error());
            ++failed;
        }
    }
    if (failed == n) {
        return tl::unexpected<Failure>(*last);
    }
    return all;
}

struct Inquiry {
    std::unique_ptr<Judge> judge;
    Collected found;
};

Answer<Inquiry> inquire(const Globals& globals) {
    const Answer<Connection> connection =
        connect(globals, {.fallback_key = "admin", .timeout_ms = default_timeout_ms, .fail_fast = true});
    if (!connection) {
        return tl::unexpected<Failure>(connection.error());
    }
    Inquiry inquiry{std::make_unique<Judge>(connection->cluster), {}};
    Answer<Collected> found = collect(*connection, *inquiry.judge);
    if (!found) {
        return tl::unexpected<Failure>(found.error());
    }
    inquiry.found = std::move(*found);
    return inquiry;
}

// ---- list

std::vector<const Held*> in_order(const Collected& found) {
    std::vector<const Held*> all;
    for (const auto& [id, held] : found.proofs) {
        all.push_back(&held);
    }
    const auto rank = [](const Held* held) {
        const auto subject = consensus::subject_of(held->evidence);
        return std::tuple(held->evidence.culprit, subject ? subject->view : consensus::View(), held->evidence.kind,
                          subject ? subject->height : consensus::Height());
    };
    std::stable_sort(all.begin(), all.end(), [&](const Held* a, const Held* b) { return rank(a) < rank(b); });
    return all;
}

Json replicas_json(const Collected& found) {
    Json list = Json::array();
    for (const auto& [replica, said] : found.said) {
        list.push_back(Json{{"id", replica},
                            {"reachable", !said.failure.has_value()},
                            {"held", said.failure ? Json() : Json(said.held)},
                            {"omitted", said.failure ? Json() : Json(said.omitted)},
                            {"unproven", said.unproven},
                            {"error", said.failure ? Json(said.failure->message) : Json()}});
    }
    return list;
}

void warn(const Collected& found) {
    for (const auto& [replica, said] : found.said) {
        if (said.failure) {
            print_error(fmt::format("warning: replica {} was not asked: {}\n", replica, said.failure->message));
        }
        if (!said.unproven.empty()) {
            print_error(fmt::format("warning: replica {} offers {} that prove nothing ({}); they are not shown\n",
                                    replica, said.unproven.size(), said.unproven.front()));
        }
        if (said.omitted > 0) {
            print_error(
                fmt::format("warning: replica {} holds {} more than one answer takes\n", replica, said.omitted));
        }
    }
}

Answer<Exit> list_evidence(const Globals& globals) {
    const Answer<Inquiry> inquiry = inquire(globals);
    if (!inquiry) {
        return tl::unexpected<Failure>(inquiry.error());
    }
    Json list = Json::array();
    std::vector<std::vector<std::string>> rows = {{"ID", "CULPRIT", "KIND", "VIEW", "HEIGHT", "HELD BY", "WHAT"}};
    for (const Held* held : in_order(inquiry->found)) {
        Json each = evidence_json(held->evidence);
        rows.push_back({each["id"].get<std::string>().substr(0, id_digits_shown), each["culprit"].dump(),
                        consensus::name_of(held->evidence.kind), each["view"].dump(),
                        each["height"].is_null() ? "-" : each["height"].dump(),
                        fmt::format("{}", fmt::join(held->holders, ",")), each["explanation"].get<std::string>()});
        each["held_by"] = held->holders;
        list.push_back(std::move(each));
    }
    if (globals.format == OutputFormat::json) {
        print_json(Json{{"evidence", list}, {"replicas", replicas_json(inquiry->found)}});
        return Exit::done;
    }
    warn(inquiry->found);
    print(list.empty() ? std::string("no evidence against any replica\n") : table(rows));
    return Exit::done;
}

// ---- show, save

Answer<Held> find(const Globals& globals, const std::string& id, std::unique_ptr<Judge>& judge) {
    if (id.size() < id_digits_min || id.find_first_not_of("0123456789abcdef") != std::string::npos) {
        return refuse_input(
            fmt::format("\"{}\" is no id of evidence: give at least {} of its hexadecimal digits, as "
                        "`loyal evidence list` shows them",
                        id, id_digits_min));
    }
    Answer<Inquiry> inquiry = inquire(globals);
    if (!inquiry) {
        return tl::unexpected<Failure>(inquiry.error());
    }
    judge = std::move(inquiry->judge);
    const auto& proofs = inquiry->found.proofs;
    const auto first = proofs.lower_bound(id);
    if (first == proofs.end() || !first->first.starts_with(id)) {
        return refuse(Exit::negative, "not_found",
                      fmt::format("no replica that answered holds evidence {}; see `loyal evidence list`", id));
    }
    if (std::next(first) != proofs.end() && std::next(first)->first.starts_with(id)) {
        return refuse_input(fmt::format("\"{}\" fits more than one; give more digits", id));
    }
    return first->second;
}

// The two statements beside each other where they are of one sort.
std::string side_by_side(const std::vector<ShownStatement>& shown) {
    std::string text;
    std::size_t next = 0;
    if (shown.size() >= 2 && shown[0].title == shown[1].title) {
        const auto& [title, fields] = shown[0];
        const auto& others = shown[1].fields;
        std::vector<std::vector<std::string>> rows = {{"FIELD", "FIRST " + title, "SECOND " + title, ""}};
        for (std::size_t i = 0; i < std::max(fields.size(), others.size()); ++i) {
            const std::string one = i < fields.size() ? fields[i].second : "-";
            const std::string other = i < others.size() ? others[i].second : "-";
            rows.push_back(
                {i < fields.size() ? fields[i].first : others[i].first, one, other, one == other ? "" : "differs"});
        }
        text += table(rows);
        next = 2;
    }
    for (; next < shown.size(); ++next) {
        std::vector<std::vector<std::string>> rows = {{"FIELD", shown[next].title}};
        for (const auto& [name, value] : shown[next].fields) {
            rows.push_back({name, value});
        }
        text += (text.empty() ? "" : "\n") + table(rows);
    }
    return text;
}

Json shown_json(const std::vector<ShownStatement>& shown) {
    Json list = Json::array();
    for (const ShownStatement& statement : shown) {
        Json each{{"what", statement.title}};
        for (const auto& [name, value] : statement.fields) {
            each[name] = value;
        }
        list.push_back(std::move(each));
    }
    return list;
}

Answer<Exit> show_evidence(const Globals& globals, const EvidenceOptions& options) {
    std::unique_ptr<Judge> judge;
    const Answer<Held> held = find(globals, options.id, judge);
    if (!held) {
        return tl::unexpected<Failure>(held.error());
    }
    if (!options.file.empty()) {
        if (const auto written = write_evidence_file(options.file, held->evidence, judge->cluster_id()); !written) {
            return tl::unexpected<Failure>(written.error());
        }
    }
    const std::vector<ShownStatement> shown = statements_of(judge->verifier, held->evidence);
    if (globals.format == OutputFormat::json) {
        Json document = evidence_json(held->evidence);
        document["held_by"] = held->holders;
        document["statements"] = shown_json(shown);
        document["proof"] = evidence_document(held->evidence, judge->cluster_id());
        print_json(document);
        return Exit::done;
    }
    print(fmt::format("{}\nevidence {} {}, held by replica {}\n\n{}", heading_of(held->evidence),
                      consensus::name_of(held->evidence.kind), consensus::evidence_id(held->evidence).hex(),
                      fmt::join(held->holders, ", "), side_by_side(shown)));
    return Exit::done;
}

Answer<Exit> save_evidence(const Globals& globals, const EvidenceOptions& options) {
    std::unique_ptr<Judge> judge;
    const Answer<Held> held = find(globals, options.id, judge);
    if (!held) {
        return tl::unexpected<Failure>(held.error());
    }
    if (const auto written = write_evidence_file(options.file, held->evidence, judge->cluster_id()); !written) {
        return tl::unexpected<Failure>(written.error());
    }
    if (globals.format == OutputFormat::json) {
        Json document = evidence_json(held->evidence);
        document["file"] = options.file;
        print_json(document);
    } else {
        print(fmt::format("{}: {}\n", options.file, heading_of(held->evidence)));
    }
    return Exit::done;
}

// ---- verify

Answer<Exit> verify_evidence(const Globals& globals, const EvidenceOptions& options) {
    const Answer<config::Cluster> cluster = load_cluster_of(globals.cluster);
    if (!cluster) {
        return tl::unexpected<Failure>(cluster.error());
    }
    const Judge judge(*cluster);
    const Answer<Evidence> evidence = read_evidence_file(options.file, judge.cluster_id());
    if (!evidence) {
        return tl::unexpected<Failure>(evidence.error());
    }
    if (const Result<void> proven = consensus::check_evidence(judge.verifier, *evidence); !proven) {
        return refuse(Exit::integrity, "unproven",
                      fmt::format("{}: proves nothing: {}", options.file, proven.error().message));
    }
    if (globals.format == OutputFormat::json) {
        Json document = evidence_json(*evidence);
        document["proven"] = true;
        print_json(document);
    } else {
        print(fmt::format("proven: {}\n", heading_of(*evidence)));
    }
    return Exit::done;
}

}  // namespace

void add_evidence_commands(CLI::App& app, CommandContext& context) {
    CLI::App* group = add_command(app, "evidence", "Signed proof of replicas' misbehaviour",
                                  "loyal evidence list\n  loyal evidence save 3fa9 proof.json\n  loyal evidence verify "
                                  "proof.json --cluster cluster.toml");
    group->require_subcommand(1);
    CLI::App* list = add_command(*group, "list", "Asks all replicas what they can prove; signs in as client \"admin\"",
                                 "loyal evidence list -w json");
    when_chosen(list, context, [&context] { return list_evidence(context.globals); });

    auto show_options = std::make_shared<EvidenceOptions>();
    CLI::App* show = add_command(*group, "show", "What one proof says, statement by statement",
                                 "loyal evidence show 3fa9\n  loyal evidence show 3fa9 --out proof.json");
    show->add_option("id", show_options->id, "Id of the evidence, or its first digits")->required();
    show->add_option("--out", show_options->file, "Write it to this new file, too");
    when_chosen(show, context, [&context, show_options] { return show_evidence(context.globals, *show_options); });

    auto save_options = std::make_shared<EvidenceOptions>();
    CLI::App* save = add_command(*group, "save", "Writes one proof to a new file, for others to verify",
                                 "loyal evidence save 3fa9 proof.json");
    save->add_option("id", save_options->id, "Id of the evidence, or its first digits")->required();
    save->add_option("file", save_options->file, "The file; it must not exist")->required();
    when_chosen(save, context, [&context, save_options] { return save_evidence(context.globals, *save_options); });

    auto verify_options = std::make_shared<EvidenceOptions>();
    CLI::App* verify =
        add_command(*group, "verify",
                    "Checks a proof with the cluster file alone, no replica is asked: exit 0 proven, 6 not proven",
                    "loyal evidence verify proof.json --cluster cluster.toml");
    verify->add_option("file", verify_options->file, "A file that `loyal evidence save` wrote")->required();
    when_chosen(verify, context,
                [&context, verify_options] { return verify_evidence(context.globals, *verify_options); });
}

}  // namespace loyal::cli
